//! Keys and signatures that OpenSSL 3.0 made, over a header `{"alg":ALG,"typ":"JWT"}` and
//! [`CLAIMS`]; those of HMAC by Python's `hmac`, under the secret `0123456789abcdef` four times.

pub(super) const CLAIMS: &str =
    r#"{"iss":"shop","sub":"alice","aud":"orders","iat":1000000,"exp":1000100}"#;

pub(super) const HS256: &str = "\
     mF-f8ZsCVpqLOVCzkSIjcs8lF5oUPwaapo04UJwcfTo";

pub(super) const HS384: &str = "\
     eUFDwwxONF9xWfR1uvBSbsN9hdeKsre_r9aOM53PHkQ99AiJbkUku4DBQWMf5YKT";

pub(super) const HS512: &str = "\
     tiC_6osZeJVh0A6AaI0jtArft2tbfRPiubAgLvBkjRRD1lieoKJN0ZihCksznqXW3Y5c4oiVA2UqF6fSowWAFQ";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const ES256: &str = "\
     juC-X4Ni1sO0eF5qj7DYpZSN5imX4F8TlC3H8LLz_4FWX-7s4eKL9M-DZXNtIDSpPSFHKo2Wj5p59WwMHM8OsQ";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const EDDSA: &str = "\
     AhTsI1AWFchhj2Lprz02HHRERatQp7USuMY4Q4TA4tG5qm1KmWFNUdN4oDVyQhLaHOANMUnasoKz4aHdqvcYBQ";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const RS256: &str = "\
     DlShGUM50cC6cA3Gcn9zjCiXh0Ge89bFVSMqWUliZ79qwcT0qWfc9x3xgnA7WFkmZAyji0dglOwEMoFXrY62nWMiKW6l\
     Njhov3sj0Dd_dIZn0VjRsnxKIHmxRGN1oRU_D4fOr4MHiy8btms3KDdtfsVeuqdBBMXJTluAiQh_AlrDL5nTS1nwqGB3\
     SFclp8dUM329Jtonr9TyJ70QQ1xG7fsqzV9gnd8mVC2vgBiE68KzsyG_aV7Bty8Ab9y6MSQU1yU5FYAr6MkSNRxtFLoC\
     usMWk5W1YvnOtT9cSr0ZmiKEhnaJp0kGiSO4Fh_qncgq8m8Pi0oMl3JZcb5Cyq6E0A";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const PS256: &str = "\
     INoDMynz07v9SQ1FEQLVpLoZLpEXP1pPm_hPxdY2g9QxXYCml3WZrH2L_zNlT85KKvC5jOazPhDmEihAojSZ5GcSB1Jv\
     2p7Ue8aG2s49VJs7LlqbRSKdlwvb8H-jkar6QJAWCgzRsBwuoWms3pFaHCQqcJJqoVsuhdun0ZMpreHChTDjcMAze84O\
     ItPyyGqj1EF-PFRe6UICXDlLK9WTaQjMYbDp-XkO7LnRBFShjpoxu-c4vyCC7LPW80fnn3_V2RX-V6ufhvggFo8fq7Ob\
     pIzVtl98OYXdZ4ABWH_fSl4ZP83ZK9_RXONqEd8c1u3CYulkXTbJpkQCwvYzR0NQAg";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const EC_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgw9AlcqaaWO2n3CcD
AjVxhMpJUf/WuiCQ+BCsZPYwbKKhRANCAARCWv1p3g5DosIUX7y7JhcZ7W1Xfhn6
LPjPZotbKbb/gC9BKBU4d3puPSJhwLOBhHqYHtDfHKtj1k4DnCKeja2b
-----END PRIVATE KEY-----";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const ED_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIKU+rLf39HZ4kFu46oyZM7k1yjarRo8wRLUwYEMF+bbb
-----END PRIVATE KEY-----";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const RSA_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCnEqwxmzbGd8H6
PNB+K/q3M0G2TI72w2uaP1+6Pe14x1JDuNlFmBEKGjRBa0H4jpDCRkycZRS7/LEg
fhX0WAWPJB+4/XA/jq32qxf0Ei3nMctYWhUal7+Of9OgPUTYHM4yjqJ13I1bhQds
XwVfGZLPHKWJp3Ou5tI1eXkQ4PtcdIs4hI2WWLNNXfkmhv4wMkYId8s0BfR6ijk+
Wfny57BQ4zy9Zz7JrzV0E6///woDwYKmTkOhIEYhDxu+3NSYDh0Eao6FQ6ZGol07
Zih1RSg5+C7tb2upkZanFnVbTK0dWrCXqekMWMhgA14DHbG4SS+phHYHSfPNNZrU
Lr/K/tw9AgMBAAECggEAFzGiQmq8AnZ6sUItvEO1FSd3qRayHDN0pd/EFYdmXHI+
Cz/HY1V2kXKiLC4h5PSUcnFZo7aWrSL/S2BQV5u7/dYJKgspFkcOWI8CZB79TLoe
yDUNS/lNcxDE24XV9QietD8VR7Z8JfyZqLj89mmxoLC8kcJzmWWFlj3htERU26NA
MpZW862UDTqkNAyeVpTJ1PanTPsdZKqEcEMVkUz9d3RZXA7Albh+Yu47TPU/EPf8
bBBIsekW4TtrIMmPtevnvkvi3HmIwy4i3D3TO+t6zOxY+haqtogg3s1WT2mNybac
o2FYUqneSbL41JC5Z1MgpTm14nnFEPWthVplH98UkwKBgQDS0YbqTDjsAZ4xDtkA
JTBgZHI0A4mmpZM4HQhCtf1LRyvXP1cR5wnV5dQ9hhWo1P1jwYpCsTcy4Sha9pgd
DFv6XTtmbzmno96phLQuU7ymBge7YlEwcvhX23dxgCtSXLrEiiRbrgCoR6A8E+2E
WeU0P3A5IahF+Mjnf61zfaD09wKBgQDK4RB+W8jGhKWuZvnrg3S5XShpqLltT1U0
uMrUR3TIGQOrIXpoxt89Yn7OcDxWeGVXq0jDaxfg5dfu5gvzFc90aQ682mi+7439
sgO1OrXXYyeSJkTkpuUyKeF5BxlZMoYI+BOggt224ealhe3HN/yT1bknUKEr3r+4
ihOdJxIPawKBgA+gjHmtsMJ91DYavacvGojqqTSF1pxNxb3xGP2o89+ypONNxKyF
DcuXP8ZXvB9Juoa8f/01mbvhyNYFVX1Bv0etxYtwTzvH/+dc+OY+OsurwsL3JMGM
pDAPCqmVMKDoUsfi3ZMWMOJIfO43I/Idn8nhsfXqMskNCgdvBXJ8K4Q9AoGAZxjo
YM4TwY43A+Ggr2YmMux8VPVBBaODET+3Exkc53KOwrBInGYzm+Ypuo6emvKjzWFl
oKkTgV5L1UNiXy1+NxIMQzxabm0eIwYLjFVBgysIOOTpraiCYHOX+QD6iLF8G6K1
lqPqN72kkAj3RH3XBOlfJfN7c+fGVekU/o+URfECgYEAxWmJmqQ/Rpp0fs6W/pHp
K83nU4+QrCoet2bp/lhkrCB/dpSmBCNt3D+33+I7ruAATgptDAtDOiM6d9tRR7Yo
v9u9NgcYq23kHSVsQNs99PRiL7glGox8sECZaO2UTFjzNuwMdPJ9nQ+XuTu7gjpg
TtP1490I7uYEXV+8MrMww68=
-----END PRIVATE KEY-----";

#[cfg(feature = "jwt-asymmetric")]
pub(super) const RSA1024_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAMWhYbNW/ybyqyoj
nWxFTCxg6/5bpdku/6x+UaxCnXif/aWWQ3lp83stdyTeoREm7K6tRs0HMp6jtJEt
5Fq+O8LQjZaCt1umUkroUPwtcvueiT2zNvmlI8kb2ZrswqDBO7XsJxWrfNvD4r0c
JRaGqEquFCtB86MYKpYymFFVnc8PAgMBAAECgYEAovOW0D2aMm4CjcNB6OUWkrzz
uQ2uKO5kp8Cb7RIcLzqT9LV6OyEOPnFVfNQIMFFM9BYxe5pEtaM7nj0dvWh/coQv
e/LB/8j5fezeSgD++9SQ1cER0B4NFnGIukfwAZxmoT4/UZnvlR8XsfaoJIFmpXyq
wD5kWJNjZgS9ogXtePECQQD7gDjrvl3v0D+B4FLd6dYMtujQfEZOdQ23tvwHnZaf
hHdcgwmc4aREuUbGaG70awqOVmrA+LaxWpeeItbOaYkXAkEAySp0AtrnyH60f6NH
AZ5DOUZRclpt1Kpv/udU8cOWMtOUvc9NF5jiuvM0FYitwrU1iMGSILiQxS75fIgO
Mqu0yQJAJ4TcbN668AXvFL9lBg3KXrEXIDuG6KkoAKg2LhQrKOGtx9GnXwltwIbE
gkTCupFfVUJq/+uU+YVcsbKTwld+/QJAB1kvp7MLaH2IZmk2fM6lMgBplT3MaUpY
kP0uUy6L3AtykYRzEnuZPK8Jpge6ITSxYe+AQQW89BcFMhFeQ2eWUQJAKlMWZLB6
uZ0hteyYvgAfHi9o836y8nTPglGWFMrDHH0d+x7W6rUqXbQMHqJO0QTdLW/U90qo
+Qry5KXK3o2hww==
-----END PRIVATE KEY-----";
