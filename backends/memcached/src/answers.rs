//! Answers of the meta protocol, out of a stream of bytes.

use memcache::exp::{self, MetaCommandResult, MetaResponse, parse_meta_result};

/// Room that a read gets, and what is kept between reads at most while it is empty.
const ROOM: usize = 16 << 10;
/// No line of an answer is nearly as long: a key and a few flags.
const LINE_LEN_MAX: usize = 2_048;
/// The largest item that Memcached can be told to take.
const VALUE_LEN_MAX: usize = 1 << 30;

/// What came in, up to the part that was taken out.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    bytes: Vec<u8>,
    taken: usize,
}

/// This is not the protocol: what follows cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

impl Answers {
    /// Where more is to be put.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.shrink_to(4 * ROOM);
        self.bytes.reserve(ROOM);
        &mut self.bytes
    }

    /// The next answer, or the error that the server answered; `None` before it is complete.
    pub(crate) fn next(&mut self) -> Result<Option<exp::Result<MetaCommandResult>>, Garbled> {
        let rest = &self.bytes[self.taken..];
        let Some(line_len) = rest.iter().take(LINE_LEN_MAX).position(|byte| *byte == b'\n') else {
            return if rest.len() < LINE_LEN_MAX { Ok(None) } else { Err(Garbled) };
        };
        let (line, rest) = rest.split_at(line_len + 1);
        let line = line.strip_suffix(b"\r\n").ok_or(Garbled)?;
        let value_len = value_len(line)?;
        let block_len = value_len.map_or(0, |len| len + 2);
        let Some(block) = rest.get(..block_len) else { return Ok(None) };
        if value_len.is_some() && !block.ends_with(b"\r\n") {
            return Err(Garbled);
        }
        let answer = MetaResponse::parse_header(line).and_then(parse_meta_result);
        let answer = answer.map(|mut answer| {
            answer.value = value_len.map(|len| block[..len].to_vec());
            answer
        });
        self.taken += line_len + 1 + block_len;
        match answer {
            Err(exp::Error::Protocol(_)) => Err(Garbled),
            answer => Ok(Some(answer)),
        }
    }
}

/// How long the value is that follows this line, if one does: `VA LEN FLAGS`.
fn value_len(line: &[u8]) -> Result<Option<usize>, Garbled> {
    let Some(rest) = line.strip_prefix(b"VA ") else { return Ok(None) };
    let len = rest.split(|byte| *byte == b' ').next().and_then(|len| str::from_utf8(len).ok());
    let len = len.and_then(|len| len.parse().ok()).filter(|len| *len <= VALUE_LEN_MAX);
    len.map(Some).ok_or(Garbled)
}

#[cfg(test)]
mod tests {
    use memcache::exp::ReturnCode;

    use super::*;

    fn all(answers: &mut Answers) -> Vec<exp::Result<MetaCommandResult>> {
        std::iter::from_fn(|| answers.next().unwrap()).collect()
    }

    const STREAM: &[u8] =
        b"VA 4 c7 t-1\r\na\r\nb\r\nEN\r\nVA 0 c8\r\n\r\nSERVER_ERROR out\r\nHD c9\r\n";

    fn check(answers: &[exp::Result<MetaCommandResult>]) {
        let [first, miss, empty, error, last] = answers else { panic!("{answers:?}") };
        let first = first.as_ref().unwrap();
        assert_eq!(first.value.as_deref(), Some(&b"a\r\nb"[..]));
        assert_eq!((first.cas, first.ttl), (Some(7), Some(-1)));
        assert_eq!(miss.as_ref().unwrap().rc, ReturnCode::En);
        assert_eq!(empty.as_ref().unwrap().value.as_deref(), Some(&b""[..]));
        assert!(matches!(error, Err(exp::Error::Server(text)) if text == "out"));
        assert_eq!(last.as_ref().unwrap().cas, Some(9));
    }

    #[test]
    fn answers_come_out_however_they_came_in() {
        for piece in 1..=STREAM.len() {
            let (mut answers, mut out) = (Answers::default(), Vec::new());
            for bytes in STREAM.chunks(piece) {
                answers.buffer().extend_from_slice(bytes);
                out.extend(all(&mut answers));
            }
            check(&out);
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_found_out() {
        let long = vec![b'x'; LINE_LEN_MAX];
        let wrong: [&[u8]; 6] =
            [b"VA 1 c7\r\nabc", b"VA x\r\n", b"VA 1073741825\r\n", b"\r\n", b"HD\n", &long];
        for bytes in wrong {
            let mut answers = Answers::default();
            answers.buffer().extend_from_slice(bytes);
            assert_eq!(answers.next().map(drop), Err(Garbled), "{bytes:?}");
        }
    }

    #[test]
    fn what_was_taken_out_takes_no_room() {
        let mut answers = Answers::default();
        answers.buffer().extend_from_slice(b"VA 1000000\r\n");
        answers.buffer().extend_from_slice(&vec![1; 1_000_000]);
        answers.buffer().extend_from_slice(b"\r\n");
        assert_eq!(all(&mut answers).len(), 1);
        assert!(answers.buffer().capacity() < 8 * ROOM);
    }
}
