//! A payment that is sent three times and made once.
//!
//! `cargo run --example idempotent_payment`

use serde::{Deserialize, Serialize};
use steadfast::idempotency::{Begin, Completion, Fingerprint, IdempotencyKey, Scope};
use steadfast::{Idempotency, Principal, State, Store};

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    payment_id: String,
    cents: u64,
}

impl State for Receipt {
    const SCHEMA: u16 = 1;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    let payments = Idempotency::<Receipt>::builder(&store).build()?;
    let alice = Principal::new("alice")?;

    println!("first:       {}", pay(&payments, &alice, "key-1", 1_000).await?);
    println!("retry:       {}", pay(&payments, &alice, "key-1", 1_000).await?);
    println!("changed:     {}", pay(&payments, &alice, "key-1", 9_999).await?);
    Ok(())
}

async fn pay(
    payments: &Idempotency<Receipt>,
    payer: &Principal,
    key: &str,
    cents: u64,
) -> steadfast::Result<String> {
    let scope = Scope::of(payer, "pay");
    let asked = Fingerprint::of([cents.to_be_bytes()]);
    Ok(match payments.begin(&scope, &IdempotencyKey::new(key)?, &asked).await? {
        Begin::Acquired(claim) => {
            // Hand this id to the bank: should this process die here, whoever looks into it can
            // ask the bank by the same id.
            let receipt = Receipt { payment_id: claim.effect_id().to_owned(), cents };
            match claim.complete(&receipt).await? {
                Completion::Completed => format!("paid, {receipt:?}"),
                Completion::Fenced { winner } => format!("somebody else paid, {winner:?}"),
            }
        }
        Begin::Replay(receipt) => format!("paid before, {receipt:?}"),
        Begin::InFlight { lease_left, .. } => format!("being paid, ask again in {lease_left:?}"),
        Begin::Mismatch => "refused: the key was used for another payment".to_owned(),
        Begin::Lapsed { .. } | Begin::Indeterminate { .. } => {
            "unknown: a former attempt died; look before you pay".to_owned()
        }
    })
}
