//! Key sets: what goes out is public, and what comes in is understood or left out.

use serde_json::{Value, json};

use crate::backend::ErrorKind;

use super::super::{Algorithm, Key, KeyRing};
use super::key;

/// RFC 7517, appendix A.1, without the members that have no meaning here.
fn ec() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    })
}

/// 2048 bits, all of them set.
fn modulus() -> String {
    "_".repeat(341) + "w"
}

fn read(keys: &[Value]) -> crate::Result<KeyRing> {
    KeyRing::from_jwks(&json!({ "keys": keys }).to_string())
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn without(mut jwk: Value, name: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(name);
    jwk
}

#[test]
fn a_published_set_has_every_public_key_and_no_secret() {
    let pairs = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Ps256]
        .map(|algorithm| Key::generate(algorithm).unwrap());
    let kids = pairs.each_ref().map(|key| key.kid().to_owned());
    let ring = KeyRing::new(pairs.into_iter().chain([key()])).unwrap();
    let document: Value = serde_json::from_str(&ring.to_jwks()).unwrap();
    let keys = document["keys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), kids);
    for key in keys {
        assert_eq!(key["use"], "sig");
        for name in key.as_object().unwrap().keys() {
            assert!(
                ["kty", "crv", "x", "y", "n", "e", "alg", "kid", "use"].contains(&name.as_str())
            );
        }
    }
    assert_eq!(KeyRing::from(key()).to_jwks(), r#"{"keys":[]}"#);
}

#[test]
fn what_is_not_for_us_is_left_out() {
    let good = with(ec(), "x5c", json!(["AAAA"]));
    for other in [
        json!({ "kty": "future", "alg": "ES256" }),
        with(ec(), "use", json!("enc")),
        with(ec(), "key_ops", json!(["sign"])),
        with(ec(), "alg", json!("ES512")),
        with(ec(), "alg", json!("none")),
        with(ec(), "crv", json!("P-521")),
        with(ec(), "crv", json!("secp256k1")),
        with(ec(), "kid", json!("k".repeat(65))),
        with(ec(), "kid", json!("")),
        with(ec(), "kid", json!(7)),
        with(ec(), "x", json!("AAAA")),
        // Not on the curve.
        with(ec(), "x", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        with(ec(), "x", json!("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4=")),
        without(ec(), "y"),
        json!({
            "kty": "OKP", "crv": "X25519", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
        }),
        // 1024 bits.
        json!({ "kty": "RSA", "n": "_".repeat(170) + "w", "e": "AQAB" }),
        json!({ "kty": "RSA", "n": modulus(), "e": "AQ" }),
        json!({ "kty": "RSA", "n": modulus(), "e": "AA" }),
        json!({ "kty": "RSA", "n": "A".repeat(344), "e": "AQAB" }),
    ] {
        assert!(read(std::slice::from_ref(&other)).is_err(), "{other}");
        let ring = read(&[other.clone(), good.clone()]).unwrap();
        assert_eq!(ring.signer().kid(), "1", "{other}");
    }
}

#[test]
fn a_set_that_shows_a_private_key_or_a_secret_is_refused() {
    let secret = json!({ "kty": "oct", "alg": "HS256", "k": "A".repeat(43) });
    for bad in [with(ec(), "d", json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE")), secret] {
        let other = with(ec(), "kid", json!("2"));
        let error = read(&[bad, other]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error:?}").contains("870MB"));
    }
}

#[test]
fn a_set_that_cannot_be_trusted_whole_is_refused_whole() {
    let good = json!({ "keys": [ec()] }).to_string();
    assert!(KeyRing::from_jwks(&good).is_ok());
    assert!(read(&[ec(), ec()]).is_err(), "two of one kid");
    for bad in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"keys":[]}"#.to_owned(),
        r#"{"keys":[7]}"#.to_owned(),
        r#"{"keys":{}}"#.to_owned(),
        good.replace(r#""kid":"1""#, r#""kid":"1","kid":"1""#),
        good.replace('{', r#"{"keys":[],"#),
        format!("{good}{good}"),
        format!("{good}{}", " ".repeat(256 * 1024)),
    ] {
        let error = KeyRing::from_jwks(&bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn a_key_names_its_algorithm_or_has_only_one() {
    let rsa = json!({ "kty": "RSA", "n": modulus(), "e": "AQAB" });
    let algorithm = |jwk: Value| read(&[jwk]).unwrap().signer().algorithm();
    assert_eq!(algorithm(rsa.clone()), Algorithm::Rs256);
    assert_eq!(algorithm(with(rsa.clone(), "alg", json!("PS256"))), Algorithm::Ps256);
    assert_eq!(algorithm(without(ec(), "alg")), Algorithm::Es256);
    assert!(read(&[with(rsa, "alg", json!("HS256"))]).is_err());
}

#[test]
fn a_key_without_a_name_has_its_thumbprint() {
    // RFC 8037, appendix A.3.
    let okp = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(read(&[okp]).unwrap().signer().kid(), kid);
    // RFC 7638, section 3.1.
    let rsa = json!({ "kty": "RSA", "e": "AQAB", "n": RFC_7638_MODULUS });
    let kid = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    assert_eq!(read(&[rsa]).unwrap().signer().kid(), kid);
}

const RFC_7638_MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT\
    86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_\
    RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91Cb\
    OpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU\
    8awapJzKnqDKgw";
