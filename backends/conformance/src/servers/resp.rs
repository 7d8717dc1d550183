use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A server that stands still must not stop the test.
const REPLY_LIMIT: Duration = Duration::from_secs(10);

/// What a Redis server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Array(Vec<Reply>),
    Bytes(Vec<u8>),
    Error(String),
    Nil,
}

impl Reply {
    /// The reply as text, an array with one element a line.
    pub(crate) fn text(self) -> io::Result<String> {
        match self {
            Self::Array(elements) => {
                let lines = elements.into_iter().map(Self::text).collect::<io::Result<Vec<_>>>()?;
                Ok(lines.join("\n"))
            }
            Self::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Self::Error(message) => Err(io::Error::other(message)),
            Self::Nil => Ok(String::new()),
        }
    }

    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A blocking connection to a Redis server, by RESP2.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    pub(crate) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, command: &[A]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for arg in command.iter().map(AsRef::as_ref) {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(line) = line.strip_suffix("\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let (kind, rest) = line.split_at_checked(1).ok_or_else(malformed)?;
        match (kind, rest) {
            ("+" | ":", _) => Ok(Reply::Bytes(rest.into())),
            ("-", _) => Ok(Reply::Error(rest.into())),
            ("$" | "*", "-1") => Ok(Reply::Nil),
            ("$", _) => self.bytes(len(rest)?),
            ("*", _) => {
                (0..len(rest)?).map(|_| self.reply()).collect::<io::Result<_>>().map(Reply::Array)
            }
            _ => Err(malformed()),
        }
    }

    fn bytes(&mut self, len: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; len + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(len);
        Ok(Reply::Bytes(bytes))
    }
}

fn len(text: &str) -> io::Result<usize> {
    text.parse().map_err(|_| malformed())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server's reply is not RESP2")
}
