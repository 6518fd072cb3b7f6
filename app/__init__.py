"""The Streamlit program of the flip explorer: a frame and thin pages. pct_mlops.explorer holds what they draw."""
