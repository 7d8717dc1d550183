//! Public keys as documents: RFC 7517 with RFC 7518, section 6, and RFC 8037.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::text;

use super::asymmetric::{Pair, UNCOMPRESSED};
use super::{Algorithm, Key};

/// The numbers of a public key, as bytes.
pub(super) enum PublicJwk {
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519 { x: [u8; 32] },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicJwk {
    pub(super) fn of_point(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[UNCOMPRESSED])?.split_at_checked(32)?;
        Some(Self::P256 { x: x.try_into().ok()?, y: y.try_into().ok()? })
    }

    pub(super) fn ed25519(x: &[u8]) -> Option<Self> {
        Some(Self::Ed25519 { x: x.try_into().ok()? })
    }

    /// From 2048 to 8192 bits, and with an exponent that encrypts.
    pub(super) fn rsa(n: Vec<u8>, e: Vec<u8>) -> Option<Self> {
        let bits = (n.len() * 8).checked_sub(n.first()?.leading_zeros() as usize)?;
        let exponent =
            e.iter().try_fold(0_u32, |sum, byte| Some(sum.checked_mul(256)? | u32::from(*byte)))?;
        let minimal = n.first() != Some(&0) && e.first() != Some(&0);
        let good = (2_048..=8_192).contains(&bits) && exponent >= 3 && exponent % 2 == 1;
        (minimal && good).then_some(Self::Rsa { n, e })
    }

    /// The members that make the key, in the order of RFC 7638: `serde_json` sorts them, or keeps
    /// the order they have here.
    fn members(&self) -> Value {
        match self {
            Self::P256 { x, y } => json!({
                "crv": "P-256", "kty": "EC", "x": text::encode(x), "y": text::encode(y),
            }),
            Self::Ed25519 { x } => json!({
                "crv": "Ed25519", "kty": "OKP", "x": text::encode(x),
            }),
            Self::Rsa { n, e } => json!({
                "e": text::encode(e), "kty": "RSA", "n": text::encode(n),
            }),
        }
    }

    /// RFC 7638.
    pub(super) fn thumbprint(&self) -> [u8; 32] {
        Sha256::digest(self.members().to_string()).into()
    }
}

/// A key as others may see it.
pub(super) fn publish(key: &Key) -> Option<Value> {
    let mut jwk = key.public()?.members();
    jwk["alg"] = key.algorithm().name().into();
    jwk["kid"] = key.kid().into();
    jwk["use"] = "sig".into();
    Some(jwk)
}

/// What a key in a document says. Members that are not listed are ignored, as RFC 7517 wants it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Members that belong to a private key or a shared secret.
const PRIVATE: [&str; 8] = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];

pub(super) fn is_private(jwk: &Map<String, Value>) -> bool {
    PRIVATE.iter().any(|name| jwk.contains_key(*name))
}

/// A key that verifies, or why it cannot be used here.
pub(super) fn parse(jwk: Map<String, Value>) -> Result<Key, &'static str> {
    let jwk = serde_json::from_value::<Jwk>(Value::Object(jwk))
        .map_err(|_| "it has no `kty`, or a member that is not of its type")?;
    let signs = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
    let verifies = |operations: &Vec<String>| operations.iter().any(|name| name == "verify");
    if !signs || !jwk.key_ops.as_ref().is_none_or(verifies) {
        return Err("it is not for verifying: see its `use` and `key_ops`");
    }
    let algorithm = jwk.algorithm().ok_or(
        "its type, curve or algorithm is not one of ES256, EdDSA (Ed25519), RS256 and PS256",
    )?;
    let pair = jwk.public().and_then(|public| Pair::public(algorithm, public)).ok_or(
        "its numbers are missing, no base64url, or no good key; RSA has 2048 to 8192 bits",
    )?;
    let key = Key::of_pair(algorithm, pair);
    match &jwk.kid {
        Some(kid) => key.named(kid).map_err(|_| "its `kid` has not 1 to 256 bytes"),
        None => Ok(key),
    }
}

impl Jwk {
    /// One algorithm a key. An RSA key that names none is for RS256: large issuers leave it out.
    fn algorithm(&self) -> Option<Algorithm> {
        let kinds = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => &[Algorithm::Es256][..],
            ("OKP", Some("Ed25519")) => &[Algorithm::EdDsa],
            ("RSA", _) => &[Algorithm::Rs256, Algorithm::Ps256],
            _ => &[],
        };
        let named = |kind: &&Algorithm| self.alg.as_ref().is_none_or(|alg| kind.is_named(alg));
        kinds.iter().find(named).copied()
    }

    fn public(&self) -> Option<PublicJwk> {
        let bytes = |member: &Option<String>| text::decode(member.as_ref()?);
        match self.kty.as_str() {
            "EC" => PublicJwk::of_point(
                &[vec![UNCOMPRESSED], bytes(&self.x)?, bytes(&self.y)?].concat(),
            ),
            "OKP" => PublicJwk::ed25519(&bytes(&self.x)?),
            _ => PublicJwk::rsa(bytes(&self.n)?, bytes(&self.e)?),
        }
    }
}
