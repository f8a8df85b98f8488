"""The shipped load balancer configurations, loaded by the real programs, in front of real edges."""
