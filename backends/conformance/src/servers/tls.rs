use std::fs;
use std::io;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub(crate) const CA: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// Writes a new certificate authority's certificate, and a server's that it signed.
pub(crate) fn write_files(dir: &Path) -> io::Result<()> {
    let files = generate().map_err(io::Error::other)?;
    files.into_iter().try_for_each(|(name, pem)| fs::write(dir.join(name), pem))
}

fn generate() -> Result<[(&'static str, String); 3], rcgen::Error> {
    let mut ca = CertificateParams::new([])?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A name of its own: the server's would be taken for one that signed itself.
    ca.distinguished_name.push(DnType::CommonName, "steadfast test authority");
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let server_key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let server = CertificateParams::new(names)?;
    let server = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;
    Ok([(CA, ca_pem), (CERTIFICATE, server.pem()), (KEY, server_key.serialize_pem())])
}

/// The lines of `redis.conf`; its paths are relative to the server's directory.
pub(crate) fn directives(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("port", "0".into()),
        ("tls-port", port.to_string()),
        ("tls-ca-cert-file", CA.into()),
        ("tls-cert-file", CERTIFICATE.into()),
        ("tls-key-file", KEY.into()),
        ("tls-auth-clients", "no".into()),
    ]
}
