"""Health: probes that speak SMTP to the hosts, and what is believed of a host after each of them."""
