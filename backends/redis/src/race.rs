//! Asking several servers of which one answer is enough.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::error::{Outcome, nonsense};

/// How long one is waited for before the next one is asked, too.
const HEAD_START: Duration = Duration::from_millis(50);

/// The first good answer. One is asked after the other, but none waits long for those before it:
/// servers that are dead or stand still cost a moment each, not a timeout. Without a good answer it
/// is any, or else why there is none.
pub(crate) async fn first<T, Asked>(
    asks: impl IntoIterator<Item = Asked>,
    is_good: impl Fn(&T) -> bool,
) -> Outcome<T>
where
    Asked: Future<Output = Outcome<T>>,
{
    let (mut next, mut under_way) = (asks.into_iter(), FuturesUnordered::new());
    let mut second_best: Option<Outcome<T>> = None;
    under_way.extend(next.next());
    while !under_way.is_empty() {
        match tokio::time::timeout(HEAD_START, under_way.next()).await {
            Ok(Some(Ok(answer))) if is_good(&answer) => return Ok(answer),
            Ok(Some(other)) if rank(Some(&other)) > rank(second_best.as_ref()) => {
                second_best = Some(other);
            }
            _ => {}
        }
        under_way.extend(next.next());
    }
    second_best.unwrap_or_else(|| Err(nonsense()))
}

/// Who answered that something is wrong knows more than who did not answer.
fn rank<T>(answer: Option<&Outcome<T>>) -> u8 {
    match answer {
        None => 0,
        Some(Err(fault)) if fault.is_outage() => 1,
        Some(Err(_)) => 2,
        Some(Ok(_)) => 3,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use steadfast_backend::ErrorKind;

    use super::*;
    use crate::error::Fault;

    enum Server {
        Answers(u8),
        Fails(ErrorKind),
        StandsStill,
    }

    async fn asked(server: &Server) -> Outcome<u8> {
        match server {
            Server::Answers(answer) => Ok(*answer),
            Server::Fails(kind) => Err(Fault::new(*kind, "it fails")),
            Server::StandsStill => pending().await,
        }
    }

    async fn first_of(servers: &[Server]) -> Outcome<u8> {
        first(servers.iter().map(asked), |answer| *answer > 1).await
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stands_still_is_passed_by() {
        use Server::{Answers, Fails, StandsStill};
        let began = tokio::time::Instant::now();
        let servers =
            [StandsStill, StandsStill, Fails(ErrorKind::Unavailable), Answers(1), Answers(2)];
        assert_eq!(first_of(&servers).await.unwrap(), 2);
        assert_eq!(began.elapsed(), HEAD_START * 2);
    }

    #[tokio::test]
    async fn without_a_good_answer_it_is_any_and_else_the_one_that_says_what_is_wrong() {
        use Server::{Answers, Fails};
        let (away, wrong) = (ErrorKind::Unavailable, ErrorKind::Rejected);
        assert_eq!(first_of(&[Fails(wrong), Answers(1), Fails(away)]).await.unwrap(), 1);
        let fault = first_of(&[Fails(away), Fails(wrong), Fails(away)]).await.unwrap_err();
        assert_eq!(fault.kind, wrong);
        assert!(first_of(&[]).await.is_err());
    }
}
