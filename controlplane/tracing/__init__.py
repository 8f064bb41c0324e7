"""The ways of single requests: proxies report them while an operator watches; nothing is kept otherwise."""
