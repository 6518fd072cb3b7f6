"""What plugs into other programs."""
