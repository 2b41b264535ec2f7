"""Certificates for servers of the tests."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAYS = 2
"""Days before and after now for which a certificate is good."""


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for `name` that is signed by nobody but itself; the files of it, and of it with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now, validity = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=DAYS)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now - validity).not_valid_after(now + validity)
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    alone, both = folder / f"{name}.pem", folder / f"{name}.key.pem"
    alone.write_bytes(pem)
    both.write_bytes(private + pem)
    return alone, both


def server_tls(both: Path) -> ssl.SSLContext:
    """The TLS of a server that has this certificate and key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(both)
    return context
