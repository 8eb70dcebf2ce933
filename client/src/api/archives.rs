//! The requests about tars.

use http::Method;
use hyper::body::Incoming;
use layer_proto::LineReader;

use super::{Api, PullStream, Target};
use crate::cli::ImportArgs;
use crate::connection::{RequestBody, VERSION_PREFIX};
use crate::error::Error;

const TAR: &str = "application/x-tar";

impl Api {
    /// Images as an archive; platforms are as they were typed.
    pub(crate) async fn save(&self, images: &[String], platforms: &[String]) -> Result<Incoming, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/images/get"]);
        images.iter().for_each(|image| target.query("names", image));
        platforms.iter().for_each(|platform| target.query("platform", platform));
        Ok(self.connection.send(Method::GET, &target.text, None).await?.into_body())
    }

    /// Begins to load an archive.
    pub(crate) async fn load(&self, body: RequestBody, platforms: &[String], quiet: bool) -> Result<PullStream, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/images/load"]);
        target.query("quiet", if quiet { "1" } else { "0" });
        platforms.iter().for_each(|platform| target.query("platform", platform));
        self.stream(&target, body).await
    }

    /// Begins to import a tar. Without a body the daemon fetches it from the source.
    pub(crate) async fn import(&self, args: &ImportArgs, body: Option<RequestBody>) -> Result<PullStream, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/images/create"]);
        target.query("fromSrc", if body.is_some() { "-" } else { &args.source });
        let texts = [("repo", &args.name), ("message", &args.message), ("platform", &args.platform)];
        for (name, text) in texts {
            if let Some(text) = text {
                target.query(name, text);
            }
        }
        args.change.iter().for_each(|change| target.query("changes", change));
        match body {
            Some(body) => self.stream(&target, body).await,
            None => {
                let answer = self.connection.send(Method::POST, &target.text, None).await?;
                Ok(PullStream { body: answer.into_body(), lines: LineReader::new(), ended: false })
            }
        }
    }

    async fn stream(&self, target: &Target, body: RequestBody) -> Result<PullStream, Error> {
        let answer = self.connection.send_body(Method::POST, &target.text, Some(TAR), body).await?;
        Ok(PullStream { body: answer.into_body(), lines: LineReader::new(), ended: false })
    }
}
