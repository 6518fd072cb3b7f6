"""Parts that every workflow needs: processes, registry, references to models, and output files."""
