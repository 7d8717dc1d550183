/// A signature algorithm of RFC 7518 or RFC 8037. `none` is not among them.
///
/// ```
/// use steadfast::token::Algorithm;
///
/// assert_eq!(Algorithm::Hs256.name(), "HS256");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// ECDSA on P-256 with SHA-256.
    #[cfg(feature = "jwt-asymmetric")]
    Es256,
    /// Ed25519, written as `EdDSA` (RFC 8037), and read as `Ed25519` (RFC 9864), too.
    #[cfg(feature = "jwt-asymmetric")]
    EdDsa,
    /// RSA with PKCS #1 v1.5 padding and SHA-256.
    #[cfg(feature = "jwt-asymmetric")]
    Rs256,
    /// RSA with PSS padding and SHA-256.
    #[cfg(feature = "jwt-asymmetric")]
    Ps256,
}

impl Algorithm {
    /// Its name in the header of a token that we sign. Case counts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            #[cfg(feature = "jwt-asymmetric")]
            Self::Es256 => "ES256",
            #[cfg(feature = "jwt-asymmetric")]
            Self::EdDsa => "EdDSA",
            #[cfg(feature = "jwt-asymmetric")]
            Self::Rs256 => "RS256",
            #[cfg(feature = "jwt-asymmetric")]
            Self::Ps256 => "PS256",
        }
    }

    /// Whether others may mean it by this name.
    pub(super) fn is_named(self, name: &str) -> bool {
        #[cfg(feature = "jwt-asymmetric")]
        if self == Self::EdDsa && name == "Ed25519" {
            return true;
        }
        self.name() == name
    }
}
