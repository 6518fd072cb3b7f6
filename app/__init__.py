"""The flip explorer: a thin Streamlit page over stored predictions."""
