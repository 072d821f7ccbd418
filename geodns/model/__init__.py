"""Frozen values: the zones that operators write, and the states of hosts.

Names of hosts, pools and checks are the short ones of the file. Owner names and names in record data are
absolute, in lower case and end in a dot (``mta1.out.example.com.``); a zone's own name has none
(``out.example.com``), like its file. Times are whole or fractional seconds.
"""
