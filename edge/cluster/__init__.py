"""What this edge and the publishers and other edges ask each other over Redis (requests and replies: common/rpc/)."""
