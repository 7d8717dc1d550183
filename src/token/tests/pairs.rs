//! Key pairs: the RFCs' examples, tokens that OpenSSL signed, and our own round trips.

use std::time::Duration;

use crate::backend::ErrorKind;
use crate::text;

use super::super::{Algorithm, Claims, Key, KeyRing, TokenError};
use super::vectors::verifies;
use super::{builder, claims, openssl, signed_by};

const PAIRS: [Algorithm; 4] =
    [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Ps256];

/// A key from a document with this one key.
fn jwk(members: &str) -> Key {
    KeyRing::from_jwks(&format!(r#"{{"keys":[{{{members}}}]}}"#)).unwrap().signer().clone()
}

fn holds(key: &Key, header: &str, payload: &str, signature: &str) -> bool {
    key.verify(format!("{header}.{payload}").as_bytes(), &text::decode(signature).unwrap())
}

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
    b290Ijp0cnVlfQ";

#[test]
fn the_es256_example_of_rfc_7515_holds() {
    let key = jwk(r#""kty":"EC","crv":"P-256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#);
    let signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert!(holds(&key, "eyJhbGciOiJFUzI1NiJ9", JOE, signature));
    assert!(!holds(&key, "eyJhbGciOiJFUzI1NiJ8", JOE, signature));
}

#[test]
fn the_rs256_example_of_rfc_7515_holds() {
    let key = jwk(&format!(r#""kty":"RSA","e":"AQAB","n":"{A2_MODULUS}""#));
    assert_eq!(key.algorithm(), Algorithm::Rs256);
    assert!(holds(&key, "eyJhbGciOiJSUzI1NiJ9", JOE, A2_SIGNATURE));
}

const A2_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-\
    Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb\
    _7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlx\
    vb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h\
    4FRWyuXpoQ";
const A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7A\
    AuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWz\
    O75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZE\
    Sc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypG\
    lUPQGe77Rw";

#[test]
fn the_ed25519_example_of_rfc_8037_holds() {
    let key = jwk(r#""kty":"OKP","crv":"Ed25519",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#);
    let payload = "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(holds(&key, "eyJhbGciOiJFZERTQSJ9", payload, signature));
}

#[test]
fn tokens_that_openssl_signed_pass() {
    for (algorithm, pem, signature) in [
        (Algorithm::Es256, openssl::EC_PEM, openssl::ES256),
        (Algorithm::EdDsa, openssl::ED_PEM, openssl::EDDSA),
        (Algorithm::Rs256, openssl::RSA_PEM, openssl::RS256),
        (Algorithm::Ps256, openssl::RSA_PEM, openssl::PS256),
    ] {
        assert!(verifies(Key::from_pem(algorithm, pem).unwrap(), signature), "{algorithm:?}");
    }
    // The same RSA key, and the other padding.
    let key = Key::from_pem(Algorithm::Ps256, openssl::RSA_PEM).unwrap();
    assert!(!verifies(key, openssl::RS256));
}

#[test]
fn whoever_has_the_key_set_verifies_what_the_key_pair_signed() {
    for algorithm in PAIRS {
        let ours = builder(Key::generate(algorithm).unwrap()).0.build().unwrap();
        let theirs = KeyRing::from_jwks(&ours.keys().to_jwks()).unwrap();
        let theirs = builder(theirs).0.cache(10).build().unwrap();
        let token = ours.issue(&Claims::new("alice"), Duration::from_secs(9)).unwrap();
        for _cold_and_warm in 0..2 {
            assert_eq!(theirs.verify(&token).unwrap().subject, "alice", "{algorithm:?}");
        }
        let error = theirs.issue(&Claims::new("alice"), Duration::from_secs(9)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "a public key signs nothing");
        let stranger = KeyRing::from(Key::generate(algorithm).unwrap());
        assert_eq!(
            builder(stranger).0.build().unwrap().verify(&token),
            Err(TokenError::UnknownKey)
        );
    }
}

/// The oldest trick: the public key, which everybody knows, as the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret() {
    for algorithm in PAIRS {
        let pair = Key::generate(algorithm).unwrap();
        let ring = KeyRing::from(pair.clone());
        let document = ring.to_jwks();
        let tokens = builder(ring).0.build().unwrap();
        for kid in [String::new(), format!(r#","kid":"{}""#, pair.kid())] {
            let forger = Key::hs256(document.as_bytes()).unwrap();
            for alg in ["HS256", algorithm.name()] {
                let header = format!(r#"{{"alg":"{alg}","typ":"JWT"{kid}}}"#);
                assert!(tokens.verify(&signed_by(&forger, &header, claims(""))).is_err());
            }
        }
    }
}

/// A signature of ECDSA has a twin that is as good. It is the same token, and goes by its `jti`.
#[test]
fn the_twin_of_a_signature_is_the_same_token() {
    let tokens = builder(Key::generate(Algorithm::Es256).unwrap()).0.build().unwrap();
    let token = tokens.issue(&Claims::new("alice"), Duration::from_secs(9)).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let twin = format!("{signed}.{}", text::encode(&negated(&text::decode(signature).unwrap())));
    assert_ne!(token, twin);
    assert_eq!(tokens.verify(&token).unwrap().id, tokens.verify(&twin).unwrap().id);
}

/// (r, s) as (r, n - s), with n the order of P-256.
fn negated(signature: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
    let mut twin = signature.to_vec();
    let mut borrow = false;
    for at in (0..32).rev() {
        let (byte, one) = ORDER[at].overflowing_sub(signature[32 + at]);
        let (byte, two) = byte.overflowing_sub(u8::from(borrow));
        (twin[32 + at], borrow) = (byte, one || two);
    }
    twin
}

#[test]
fn a_weak_or_wrong_private_key_is_refused() {
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let error = Key::from_pem(algorithm, openssl::RSA1024_PEM).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "1024 bits");
    }
    for (algorithm, pem) in [
        (Algorithm::Es256, openssl::RSA_PEM),
        (Algorithm::EdDsa, openssl::EC_PEM),
        (Algorithm::Rs256, openssl::ED_PEM),
        (Algorithm::Hs256, openssl::EC_PEM),
        (Algorithm::Es256, "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----"),
        (Algorithm::Es256, ""),
    ] {
        assert_eq!(Key::from_pem(algorithm, pem).unwrap_err().kind(), ErrorKind::Config);
    }
    assert!(Key::generate(Algorithm::Hs256).is_err());
    assert!(Key::from_pkcs8(Algorithm::Es256, b"no key").is_err());
}
