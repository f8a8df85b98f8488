"""The algorithms that tokens may be signed with, by the kind of the key (RFC 7518, RFC 8037). Pure."""

HMAC = ("HS256", "HS384", "HS512")
RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}  # each curve has one
EDWARDS = ("EdDSA",)
ALGORITHMS = frozenset({*HMAC, *RSA, *CURVES.values(), *EDWARDS})
