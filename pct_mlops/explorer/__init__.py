"""State, cached queries and parts of pages, of which the Streamlit program in app/ is built."""
