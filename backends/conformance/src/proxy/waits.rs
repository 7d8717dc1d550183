//! What a Redis server answers to those who wait for its replicas and disks, in a test's hand.

/// Takes a stream of commands apart, and replaces those that wait.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// The beginning of a command whose end is not there yet.
    rest: Vec<u8>,
}

impl Waits {
    /// The commands that end in these bytes, as they go on to the server.
    pub(super) fn pass(&mut self, bytes: &[u8], confirms: bool) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        let (mut passed, mut at) = (Vec::with_capacity(bytes.len()), 0);
        while let Some((len, words)) = command(&self.rest[at..]) {
            let whole = &self.rest[at..at + len];
            match (words[0], confirms) {
                // Servers before Redis 7.2 do not know it, and none says what a test wants.
                (b"WAITAOF", true) => passed.extend(resp(&[b"EVAL", b"return {1, 9}", b"0"])),
                (b"WAITAOF", false) => passed.extend(resp(&[b"EVAL", b"return {0, 0}", b"0"])),
                // Who would not be confirmed anyway need not wait for that.
                (b"WAIT", false) => passed.extend(resp(&[b"WAIT", words[1], b"1"])),
                _ => passed.extend_from_slice(whole),
            }
            at += len;
        }
        self.rest.drain(..at);
        passed
    }
}

/// The first command: its length and its words, if it is there as a whole.
fn command(bytes: &[u8]) -> Option<(usize, Vec<&[u8]>)> {
    let (mut at, count) = number(bytes, 0, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _word in 0..count {
        let (start, len) = number(bytes, at, b'$')?;
        words.push(bytes.get(start..start + len)?);
        at = start + len + 2;
    }
    (count > 0 && at <= bytes.len()).then_some((at, words))
}

/// The number in the line that begins here, and where the next one does.
fn number(bytes: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let line = bytes.get(at..)?;
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(line[0], kind, "the client does not speak RESP");
    let number = std::str::from_utf8(&line[1..end]).ok()?.parse().ok()?;
    Some((at + end + 2, number))
}

fn resp(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_whole_wherever_their_bytes_are_torn() {
        let mut sent = resp(&[b"SET", b"k", b"*4\r\n$7\r\nWAITAOF\r\n"]);
        sent.extend(resp(&[b"WAITAOF", b"1", b"0", b"900"]));
        sent.extend(resp(&[b"WAIT", b"2", b"900"]));
        let mut expected = resp(&[b"SET", b"k", b"*4\r\n$7\r\nWAITAOF\r\n"]);
        expected.extend(resp(&[b"EVAL", b"return {0, 0}", b"0"]));
        expected.extend(resp(&[b"WAIT", b"2", b"1"]));
        for len in 1..=sent.len() {
            let mut waits = Waits::default();
            let passed = sent.chunks(len).flat_map(|chunk| waits.pass(chunk, false));
            assert_eq!(passed.collect::<Vec<_>>(), expected, "in chunks of {len}");
        }
    }
}
