"""Side-by-side measurements: what a query, a change and a probe cost, beside other name servers."""
