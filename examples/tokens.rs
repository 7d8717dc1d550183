//! Signed tokens: issued with a key pair, verified from the published keys, through a rotation,
//! and revoked.
//!
//! `cargo run --example tokens --features jwt-asymmetric`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast::token::{Algorithm, Claims, Key, KeyRing, Revocations};
use steadfast::{Store, Tokens};

#[derive(Serialize, Deserialize)]
struct Access {
    scope: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The service that logs people in.
    let summer = Key::generate(Algorithm::EdDsa)?.named("summer")?;
    let issuer = Tokens::builder("https://login.example", summer.clone())
        .audience("orders")
        .typ("at+jwt")
        .build()?;
    let claims = Claims::new("alice").extra(&Access { scope: "orders:read".to_owned() })?;
    let token = issuer.issue(&claims, Duration::from_secs(15 * 60))?;

    // The service that serves orders: it has nothing but the published keys.
    let orders =
        Tokens::builder("https://login.example", KeyRing::from_jwks(&issuer.keys().to_jwks())?)
            .audience("orders")
            .typ("at+jwt")
            .cache(10_000)
            .build()?;
    let verified = orders.verify(&token)?;
    println!("{} may {}", verified.subject, verified.extra::<Access>()?.scope);

    // A rotation: the new key is published, behind the old one, before it signs anything.
    let winter = Key::generate(Algorithm::EdDsa)?.named("winter")?;
    issuer.replace_keys(KeyRing::new([summer.clone(), winter.clone()])?);
    orders.replace_keys(KeyRing::from_jwks(&issuer.keys().to_jwks())?);
    issuer.replace_keys(KeyRing::new([winter, summer])?);
    let fresh = issuer.issue(&claims, Duration::from_secs(15 * 60))?;
    println!("old: {}, new: {}", orders.verify(&token).is_ok(), orders.verify(&fresh).is_ok());

    // A revocation, which every replica on this store knows at once. Real services take a backend
    // that never drops an entry, and `Revocations::new`.
    let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    let revocations = Revocations::best_effort(&store, &orders);
    revocations.revoke(&verified).await?;
    println!("after the revocation: {}", revocations.verify(&token).await.is_ok());
    Ok(())
}
