//! Known answers: the examples of the RFCs, and tokens that others signed.

use crate::text;

use super::super::{Key, Tokens};
use super::openssl::{CLAIMS, HS256, HS384, HS512};
use super::{SECRET, builder};

#[test]
fn the_hs256_example_of_rfc_7515_holds() {
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let key = Key::hs256(&text::decode(key).unwrap()).unwrap();
    let signature = text::decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
    assert_eq!(key.sign(APPENDIX_A1.as_bytes()).unwrap(), signature);
    assert!(key.verify(APPENDIX_A1.as_bytes(), &signature));
}

const APPENDIX_A1: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn tokens_that_others_signed_pass() {
    for (key, signature) in
        [(Key::hs256(SECRET), HS256), (Key::hs384(SECRET), HS384), (Key::hs512(SECRET), HS512)]
    {
        assert!(verifies(key.unwrap(), signature));
    }
}

pub(super) fn verifies(key: Key, signature: &str) -> bool {
    let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, key.algorithm().name());
    let parts = [text::encode(header.as_bytes()), text::encode(CLAIMS.as_bytes())];
    let tokens: Tokens = builder(key).0.build().unwrap();
    tokens.verify(&format!("{}.{signature}", parts.join("."))).is_ok()
}
