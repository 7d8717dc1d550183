//! What others change, as the servers tell it (`CLIENT TRACKING` in broadcast mode).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use steadfast_backend::{ErrorKind, Key, Namespace, Watcher};
use tokio::sync::watch;

use crate::config::{Address, RedisConfig};
use crate::dial;
use crate::endpoint::Endpoint;
use crate::error::{Fault, Outcome, sound};
use crate::router::Router;
use crate::task::Task;

/// How often a server is asked whether it has told everything.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long it may take to answer; after that the link counts as lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The pause after a link that was lost or did not come about.
const PAUSE: Duration = Duration::from_millis(100);

/// One namespace, and who wants to know of it.
struct Listener {
    config: Arc<RedisConfig>,
    /// What the names of its keys begin with.
    prefix: String,
    watcher: Arc<dyn Watcher>,
    router: Arc<Router>,
    all_up: watch::Sender<bool>,
}

/// What the primaries of one map have told.
struct Told {
    map: u64,
    /// Until when each of them has told everything; `None` while its link is down. Empty once the
    /// primaries are others.
    until: Mutex<Vec<Option<Instant>>>,
}

/// Tells the watcher from when this returns until what it returns is dropped.
pub(crate) async fn start(
    config: &Arc<RedisConfig>,
    router: &Arc<Router>,
    namespace: &Namespace,
    watcher: Arc<dyn Watcher>,
) -> Outcome<Task> {
    let listener = Arc::new(Listener {
        config: Arc::clone(config),
        prefix: format!("{}:", namespace.as_str()),
        watcher,
        router: Arc::clone(router),
        all_up: watch::Sender::new(false),
    });
    let mut all_up = listener.all_up.subscribe();
    let task = Task::spawn(listen_to_all(listener));
    // The task holds the sender, and never ends by itself.
    let _ = all_up.wait_for(|up| *up).await;
    Ok(task)
}

/// One link to each primary, and other links when these are others.
async fn listen_to_all(listener: Arc<Listener>) {
    let mut maps = listener.router.maps();
    loop {
        if let Some(maps) = &mut maps {
            maps.mark_unchanged();
        }
        let (shards, map) = listener.router.primaries();
        let told = Arc::new(Told { map, until: Mutex::new(vec![None; shards.len()]) });
        listener.watcher.everything();
        let links: Vec<_> = shards
            .into_iter()
            .enumerate()
            .map(|(at, shard)| {
                let (listener, told) = (Arc::clone(&listener), Arc::clone(&told));
                Task::spawn(async move { listen(&listener, &told, at, &shard.primary).await })
            })
            .collect();
        match &mut maps {
            // The sender lives as long as the router does.
            Some(maps) => drop(maps.changed().await),
            None => std::future::pending().await,
        }
        // Those that are being told this moment must not count as the next ones.
        told.until.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(links);
    }
}

async fn listen(listener: &Listener, told: &Told, at: usize, primary: &Endpoint) {
    loop {
        if let Some(address) = primary.address()
            && let Ok(connection) = listener.link(&address).await
        {
            // What came before it was not told.
            listener.watcher.everything();
            listener.keep(told, at, connection, &address, primary).await;
            listener.told(told, at, None);
            listener.watcher.everything();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Listener {
    /// A link that tells of every change from now on.
    async fn link(&self, address: &Address) -> Outcome<MultiplexedConnection> {
        let watcher = Arc::clone(&self.watcher);
        let ear = Arc::new(move |push: PushInfo| hear(&*watcher, push));
        let mut connection = dial::listening(&self.config, address, ear).await?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg(&["TRACKING", "ON", "BCAST", "PREFIX", &self.prefix]);
        let answer = connection.send_packed_command(&tracking);
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        let answer = answer.map_err(|_elapsed| {
            Fault::new(ErrorKind::Timeout, "the server does not answer").untouched()
        })?;
        sound(answer.map_err(Fault::from)?)?;
        Ok(connection)
    }

    /// Asks again and again, until the link is lost or the primary is elsewhere.
    async fn keep(
        &self,
        told: &Told,
        at: usize,
        mut connection: MultiplexedConnection,
        address: &Address,
        primary: &Endpoint,
    ) {
        loop {
            let asked = Instant::now();
            // A push leaves after the answers of its turn of the server's loop, so it takes a
            // second answer to know that those of the first turn have come.
            for _turn in 0..2 {
                let ping = redis::cmd("PING");
                let answer = connection.send_packed_command(&ping);
                let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
                let Ok(Ok(answer)) = answer else { return };
                if sound(answer).is_err() {
                    return;
                }
            }
            self.told(told, at, Some(asked));
            tokio::time::sleep(ASK_EVERY).await;
            if primary.address().as_ref() != Some(address) {
                return;
            }
        }
    }

    /// The watcher knows as much as the primary that told the least, and as long as it was known
    /// that these are all.
    fn told(&self, told: &Told, at: usize, until: Option<Instant>) {
        let mut untils = told.until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = untils.get_mut(at) {
            *told = until;
        }
        let all = untils.iter().copied().collect::<Option<Vec<_>>>();
        if let Some(least) = all.and_then(|all| all.into_iter().min()) {
            if let Some(proved) = self.router.confirmed(told.map, least) {
                self.watcher.told_until(proved);
            }
            self.all_up.send_replace(true);
        }
    }
}

/// Called in the order of the server's pushes and answers.
fn hear(watcher: &dyn Watcher, push: PushInfo) {
    match push.kind {
        PushKind::Disconnection => watcher.everything(),
        PushKind::Invalidate => match push.data.into_iter().next() {
            Some(Value::Array(names)) => {
                for name in names {
                    let Value::BulkString(name) = name else { continue };
                    let key = String::from_utf8(name).ok().and_then(|name| Key::parse(&name).ok());
                    if let Some(key) = key {
                        watcher.changed(&key);
                    }
                }
            }
            // The server was emptied.
            _ => watcher.everything(),
        },
        _ => {}
    }
}
