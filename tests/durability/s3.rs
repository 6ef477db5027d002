//! An object store that speaks S3, for as long as a test lasts: moto's server, which `./test` installs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::free_port;

const START_LIMIT: Duration = Duration::from_secs(60);
const BUCKET: &str = "backups";

pub struct Server {
    port: u16,
    process: Child,
}

impl Server {
    /// Starts a server with an empty bucket.
    pub fn start() -> Server {
        let port = free_port();
        let process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server can be run; ./test installs it");
        let server = Server { port, process };
        let request = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        wait_for("the object store answers", START_LIMIT, || {
            server.answers(request.as_bytes()).then_some(())
        });
        server
    }

    /// Puts an object into the bucket.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let head = format!(
            "PUT /{BUCKET}/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            bytes.len()
        );
        assert!(self.answers(&[head.as_bytes(), bytes].concat()), "the object store takes {name}");
    }

    fn answers(&self, request: &[u8]) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(START_LIMIT))?;
            stream.write_all(request)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// A place in the bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What tells a program where the server is.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let fixed =
            [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")];
        let fixed = fixed.into_iter().map(|(name, value)| (name, value.to_owned()));
        fixed.chain([("AWS_ENDPOINT_URL", endpoint)]).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is our own child; if it has ended, so much the better.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
