//! Key sets: what goes out is public, and what comes in is understood or left out.

use serde_json::{Value, json};

use crate::backend::ErrorKind;

use super::super::{Algorithm, Key, KeyRing, TokenError};
use super::{builder, claims, key, signed_by};

/// RFC 7517, appendix A.1, without the members that have no meaning here.
fn ec() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    })
}

/// RFC 8037, appendix A.2.
fn okp() -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
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
        with(ec(), "kid", json!("k".repeat(257))),
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
        let [left_out] = ring.left_out() else { panic!("{:?}", ring.left_out()) };
        assert!(left_out.to_string().starts_with("key 1"), "{left_out}");
        assert!(!left_out.why().is_empty());
    }
}

#[test]
fn a_key_whose_private_half_or_secret_is_shown_is_never_used() {
    let leaked = with(ec(), "d", json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"));
    let secret = json!({ "kty": "oct", "alg": "HS256", "k": "A".repeat(43) });
    // The same key once more, as if it were still a secret whose it is.
    let again = with(ec(), "kid", json!("2"));
    let encrypts = with(leaked.clone(), "use", json!("enc"));
    let sets = [
        vec![leaked.clone()],
        vec![secret],
        vec![leaked.clone(), again.clone()],
        vec![again, encrypts],
    ];
    for bad in &sets {
        let error = read(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error:?}").contains("870MB"));
        // And the keys that are no worse for it are used.
        let ring = read(&[bad.as_slice(), &[okp()]].concat()).unwrap();
        assert_eq!(ring.len(), 1);
        assert_eq!(ring.signer().algorithm(), Algorithm::EdDsa);
        assert_eq!(ring.left_out().len(), bad.len());
        assert!(!format!("{:?}", ring.left_out()).contains("870MB"));
        assert!(ring.left_out().iter().all(|left_out| left_out.why().contains("private half")));
    }
}

/// RFC 7517, section 4.5, names the first case.
#[test]
fn keys_of_one_kid_and_different_algorithms_are_all_used() {
    let one_kid = |jwk: Value| with(jwk, "kid", json!("2026"));
    let rsa = |alg: &str| json!({ "kty": "RSA", "n": modulus(), "e": "AQAB", "alg": alg });
    for keys in [[ec(), rsa("RS256")], [rsa("RS256"), rsa("PS256")], [okp(), ec()]] {
        let ring = read(&keys.map(one_kid)).unwrap();
        assert_eq!(ring.len(), 2);
        assert!(ring.left_out().is_empty());
    }
    // A token of either passes.
    let pairs = [Algorithm::Es256, Algorithm::EdDsa]
        .map(|algorithm| Key::generate(algorithm).unwrap().named("2026").unwrap());
    let issuer = KeyRing::new(pairs.clone()).unwrap();
    let tokens = builder(KeyRing::from_jwks(&issuer.to_jwks()).unwrap()).0.build().unwrap();
    for pair in pairs {
        let header = format!(r#"{{"alg":"{}","kid":"2026"}}"#, pair.algorithm().name());
        assert!(tokens.verify(&signed_by(&pair, &header, claims(""))).is_ok(), "{pair:?}");
    }
}

#[test]
fn one_bad_key_leaves_the_others_and_says_why() {
    let twin = with(okp(), "kid", json!("1"));
    let keys = [json!(7), with(ec(), "use", json!("enc")), ec(), ec(), twin];
    let ring = read(&keys).unwrap();
    assert_eq!(ring.len(), 2);
    let said: Vec<String> = ring.left_out().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "key 1: it is no JSON object",
            "key 2 (\"1\"): it is not for verifying: see its `use` and `key_ops`",
            "key 4 (\"1\"): an earlier key has its `kid`, for the same algorithm",
        ]
    );
    assert_eq!(ring.left_out()[1].kid(), Some("1"));
    // What a stranger wrote stays on its line, and short.
    let odd = ["a\nb".to_owned(), "k".repeat(4_000)].map(|kid| json!({ "kid": kid }));
    let ring = read(&[&odd[..], &[ec()]].concat()).unwrap();
    let said: Vec<String> = ring.left_out().iter().map(ToString::to_string).collect();
    assert!(said[0].starts_with(r#"key 1 ("a\nb"): "#), "{}", said[0]);
    assert!(said[1].len() < 200 && ring.left_out()[1].kid().is_none());

    let many: Vec<Value> = (0..70).map(|at| with(ec(), "kid", json!(at.to_string()))).collect();
    let ring = read(&many).unwrap();
    assert_eq!((ring.len(), ring.left_out().len()), (64, 6));
    assert_eq!(ring.left_out()[0].why(), "a ring has at most 64 keys");
    // If nothing is left, the error says why.
    let error = read(&[with(ec(), "use", json!("enc"))]).unwrap_err();
    assert!(error.to_string().contains("see its `use`"), "{error}");
}

/// RFC 9864 names the curve in `alg`.
#[test]
fn ed25519_is_known_under_both_its_names() {
    let pair = Key::generate(Algorithm::EdDsa).unwrap();
    let document: Value = serde_json::from_str(&KeyRing::from(pair.clone()).to_jwks()).unwrap();
    let jwk = with(document["keys"][0].clone(), "alg", json!("Ed25519"));
    let tokens = builder(read(&[jwk]).unwrap()).0.build().unwrap();
    for alg in ["EdDSA", "Ed25519"] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        assert!(tokens.verify(&signed_by(&pair, &header, claims(""))).is_ok(), "{alg}");
    }
    for alg in ["ed25519", "Ed448", "ED25519", "ES256"] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        let verdict = tokens.verify(&signed_by(&pair, &header, claims("")));
        assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "{alg}");
    }
}

#[test]
fn a_byte_order_mark_before_a_set_does_not_matter() {
    let marked = |count: usize| "\u{feff}".repeat(count) + &json!({ "keys": [ec()] }).to_string();
    assert_eq!(KeyRing::from_jwks(&marked(1)).unwrap().len(), 1);
    assert!(KeyRing::from_jwks(&marked(2)).is_err());
}

#[test]
fn a_set_that_cannot_be_trusted_whole_is_refused_whole() {
    let good = json!({ "keys": [ec()] }).to_string();
    assert!(KeyRing::from_jwks(&good).is_ok());
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
    let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(read(&[okp()]).unwrap().signer().kid(), kid);
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
