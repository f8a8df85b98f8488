"""What a benchmark is told, and what it prints, judges and keeps."""
