"""What browsers say about the page behind a request, and under which name they ask: what such a request may do."""
