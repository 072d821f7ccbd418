"""``geodns report``: from the JSON of the API to figures, plots and one HTML file."""
