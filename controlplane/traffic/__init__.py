"""What proxies count of traffic, read and kept as short series. A pure core; `receiver` is its shell."""
