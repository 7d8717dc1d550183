use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use super::program::Program;
use super::wait::wait_for;

const LOG: &str = "server.log";

/// A server process with a directory of its own; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    program: &'static Program,
    args: Vec<OsString>,
    child: Mutex<Child>,
    paused: AtomicBool,
    // Dropped last: the process works in it.
    dir: TempDir,
}

impl Process {
    /// Starts the program and waits until it is ready. `ready` is asked with the process's
    /// number, to tell the server apart from a stranger at the same address.
    pub(crate) fn start(
        program: &'static Program,
        args: Vec<OsString>,
        dir: TempDir,
        ready: impl Fn(u32) -> io::Result<bool>,
    ) -> io::Result<Self> {
        let child = Mutex::new(spawn(program, &args, dir.path())?);
        let process = Self { program, args, child, paused: AtomicBool::new(false), dir };
        process.wait_ready(ready)?;
        Ok(process)
    }

    pub(crate) fn restart(&self, ready: impl Fn(u32) -> io::Result<bool>) -> io::Result<()> {
        self.kill()?;
        *self.child() = spawn(self.program, &self.args, self.dir.path())?;
        self.wait_ready(ready)
    }

    fn wait_ready(&self, ready: impl Fn(u32) -> io::Result<bool>) -> io::Result<()> {
        let pid = self.pid();
        let started = wait_for("its first answer", || {
            if let Some(status) = self.child().try_wait()? {
                return Ok(Some(Err(io::Error::other(format!("it ended with {status}")))));
            }
            Ok(ready(pid)?.then_some(Ok(())))
        });
        started.flatten().map_err(|error| {
            let binary = self.program.binary();
            let log = fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
            let message = format!("{binary} did not start: {error}; it says:\n{log}");
            io::Error::new(error.kind(), message)
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// A stopped process dies of it too.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let mut child = self.child();
        child.kill()?;
        child.wait()?;
        self.paused.store(false, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        let ended = !matches!(self.child().try_wait(), Ok(None));
        !ended && !self.paused.load(Ordering::SeqCst)
    }

    /// Returns when every thread stands still.
    pub(crate) fn pause(&self) -> io::Result<()> {
        let mut child = self.child();
        let pid = signal(&mut child, Signal::STOP)?;
        self.paused.store(true, Ordering::SeqCst);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        wait_for("the stop", || Ok(waitid(WaitId::Pid(pid), options)?.map(drop)))
    }

    pub(crate) fn resume(&self) -> io::Result<()> {
        signal(&mut self.child(), Signal::CONT)?;
        self.paused.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure, and it can only mean that the process is gone.
        let _ = self.kill();
    }
}

fn spawn(program: &Program, args: &[OsString], dir: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join(LOG))?;
    program
        .command()
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| program.explain(&error))
}

/// Sends a signal, but never to a number that the system may have given to another process.
fn signal(child: &mut Child, signal: Signal) -> io::Result<Pid> {
    if child.try_wait()?.is_some() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the server is down; restart it"));
    }
    let pid = Pid::from_child(child);
    kill_process(pid, signal)?;
    Ok(pid)
}
