"""The flip explorer's Streamlit program: a page frame and pages, thin. What they draw is in pct_mlops.explorer."""
