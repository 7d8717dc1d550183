use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::context::random;

/// Below the ports that systems give to outgoing connections: such a connection would take the
/// port of a killed server before its restart.
const FIRST: u16 = 10_000;
const COUNT: u16 = 12_000;
/// A cluster node talks to the others on the port this far above its own.
const BUS: u16 = 10_000;
const TRIES: usize = 1000;

/// A port for one server, kept for it while it is down.
///
/// A server takes its port some time after it was chosen, and tests run in many processes at
/// once. The UDP ports of the same numbers, which no server here uses, are the lock: whoever
/// holds those may use the TCP ports, and the system frees them with the process. A stranger's
/// server is seen by the probe, or in the instant after it by the server, which then ends with
/// a message.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _reserved: [UdpSocket; 2],
}

impl Port {
    pub(crate) fn reserve() -> io::Result<Self> {
        for _ in 0..TRIES {
            let offset = u16::try_from(random() % u64::from(COUNT)).unwrap_or_default();
            if let Ok(port) = Self::try_reserve(FIRST + offset) {
                return Ok(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "found no free loopback port for a server"))
    }

    fn try_reserve(number: u16) -> io::Result<Self> {
        let lock = |number| UdpSocket::bind((Ipv4Addr::LOCALHOST, number));
        let reserved = [lock(number)?, lock(number + BUS)?];
        for number in [number, number + BUS] {
            TcpListener::bind((Ipv4Addr::LOCALHOST, number))?;
        }
        Ok(Self { number, _reserved: reserved })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_while_nobody_listens_on_it() {
        let port = Port::reserve().unwrap();
        assert!(Port::try_reserve(port.number()).is_err());
        // The bus of a neighbour, if it were one.
        assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, port.number() + BUS)).is_err());
    }

    #[test]
    fn a_port_that_a_stranger_listens_on_is_left_alone() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        // As a port, or as the bus of one.
        assert!(Port::try_reserve(taken - BUS).is_err());
    }
}
