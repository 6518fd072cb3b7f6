"""What the Streamlit program in app/ is built from."""
