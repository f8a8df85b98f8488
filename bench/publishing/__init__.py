"""What publishing over HTTP costs the publisher's process, beside a bare aiohttp handler and Nchan."""
