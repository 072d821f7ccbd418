"""What the report says, and how it is drawn: from the JSON of the API to one HTML file."""
