"""Decides what each proxy gets, and when. Plans become resources that proxies share; nodes become views of
them.
"""
