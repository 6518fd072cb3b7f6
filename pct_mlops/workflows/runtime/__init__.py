"""What every workflow needs: processes, registry, references to models, files."""
