"""What operators watch the cluster with: alert rules, scrape configuration, dashboard."""
