"""What each proxy gets, and when: plans become resources that proxies share, nodes become views over them."""
