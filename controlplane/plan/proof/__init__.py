"""Proofs about rules: whether some request meets them, with such a request, or that none does.

`patterns` and `words` decide about regular expressions, `atoms` and `values` about one part of a request,
`search` about rules. `front`, `witness` and `lanes` ask that about the lanes of a gateway.
"""
