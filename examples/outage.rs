//! A session while its store is out: read stale, changed in the journal, saved when it is back.
//!
//! `redis-server --port 6399 &`, then
//! `cargo run --example outage --features redb,redis -- redis://127.0.0.1:6399`; stop Redis with
//! SIGSTOP or SIGKILL meanwhile, and let it go on.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast::redb::RedbBackend;
use steadfast::session::{JournalConfig, Saved};
use steadfast::store::{NearConfig, Reads};
use steadfast::{Principal, Sessions, State, Store};

#[derive(Clone, Serialize, Deserialize)]
struct Visit {
    pages: u32,
}

impl State for Visit {
    const SCHEMA: u16 = 1;
}

const STALE_MAX: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("which store? for example redis://127.0.0.1:6379")?;
    let near = NearConfig::default().keep(STALE_MAX).refresh_changed(true);
    let store = Store::builder(steadfast::connect(&url).await?).near(near).build()?;
    // What waits here outlives this process.
    let journal = JournalConfig::new(Arc::new(RedbBackend::open("./data/outage.redb")?));
    let (lost, mut unsaved) = tokio::sync::mpsc::unbounded_channel();
    let sessions: Sessions<Visit> = Sessions::builder(&store)
        .reads(Reads::latest().serve_stale(STALE_MAX))
        .journal(journal)
        .on_unsaved(move |unsaved| drop(lost.send(unsaved.clone())))
        .build()?;
    // Somebody else changed the session meanwhile: theirs stands, and ours is merged into it.
    let merging = sessions.clone();
    tokio::spawn(async move {
        while let Some(ours) = unsaved.recv().await {
            let larger = |now: &mut Visit, ours: &Visit| now.pages = now.pages.max(ours.pages);
            println!("merged: {:?}", merging.merge_unsaved(&ours, larger).await);
        }
    });

    let alice = Principal::new("alice")?;
    let id = sessions.sign_in(&alice, "an edge node", Visit { pages: 0 }).await?.id;
    for _second in 0..60 {
        match sessions.update_or_queue(&id, |visit| visit.pages += 1).await {
            Ok(Saved::Stored(_)) => print!("stored; "),
            Ok(Saved::Queued { .. }) => print!("queued; "),
            Err(error) => print!("not changed: {error}; "),
        }
        match sessions.load(&id).await {
            Ok(Some(found)) => println!("{} pages, {:?}", found.state.pages, found.freshness),
            Ok(None) => println!("the session is over"),
            Err(error) => println!("not read: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(store.close().await?)
}
