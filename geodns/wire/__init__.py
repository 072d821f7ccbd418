"""DNS bytes: names, messages, EDNS, records, cookies, TSIG. The only place that knows byte offsets."""
