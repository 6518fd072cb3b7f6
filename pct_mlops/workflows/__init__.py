"""The only place where the parts meet; torch and mlflow are imported by the jobs that need them."""
