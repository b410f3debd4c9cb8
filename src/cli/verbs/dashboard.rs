//! `dashboard`: the page of the leader, on a port of this machine.
//!
//! Input: a port. Output: the page's address. I/O: listens on a loopback port, passes requests on; starts the browser.

use std::{
    convert::Infallible,
    io::{self, IsTerminal as _, Write as _},
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http::{Request, Response, StatusCode, header};
use http_body_util::{Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{
    cluster::Cluster,
    controller::Controller,
    error::VerbError,
    http::{AskError, Line},
    table,
};
use crate::{args::DashboardArgs, cli::exit::Exit, explain::Status};

pub(super) async fn run(args: &DashboardArgs) -> Result<(String, Exit), VerbError> {
    let cluster = Cluster::connect(&args.cluster).await?;
    let controller = Controller::look_for_one(&cluster, &args.cluster).await?;
    let answers = controller.ask_all::<Status>("/v1/status").await;
    let leads = |answer: &Result<Status, AskError>| answer.as_ref().is_ok_and(|status| status.replica.leads);
    let place = answers
        .iter()
        .position(|(_, answer)| leads(answer))
        .or_else(|| answers.iter().position(|(_, answer)| answer.is_ok()));
    let Some(line) = place.and_then(|place| controller.lines().get(place)) else {
        let errors: Vec<(String, AskError)> = answers
            .into_iter()
            .filter_map(|(name, answer)| Some((name, answer.err()?)))
            .collect();
        return Err(VerbError::NoAnswer(controller.why_not(&errors)));
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    // At once: the command does not end before the user ends it.
    let mut output = io::stdout();
    writeln!(output, "{url}")?;
    output.flush()?;
    eprintln!("The page of {}; Ctrl-C ends it", line.name());
    if !args.no_open && output.is_terminal() {
        open(&url);
    }
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended?,
        () = serve(&listener, line) => {}
    }
    Ok((String::new(), Exit::Success))
}

/// Answers every connection, until it is dropped.
async fn serve(listener: &TcpListener, line: &Line) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let answer = service_fn(async |request| Ok::<_, Infallible>(answer(line, request).await));
                    connections.push(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
                }
                Err(error) => eprintln!("{error}"),
            },
            // That the browser closes it is how every connection ends.
            Some(_) = connections.next(), if !connections.is_empty() => {}
        }
    }
}

/// Passes a request on, on a connection of its own: a port-forward does not show that the replica has closed one that a
/// browser keeps. The `Host` goes with it: the replica refuses what is not for this machine.
async fn answer(line: &Line, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut passed = Request::new(Empty::new());
    *passed.method_mut() = request.method().clone();
    *passed.uri_mut() = request.uri().clone();
    for host in request.headers().get_all(header::HOST) {
        passed.headers_mut().append(header::HOST, host.clone());
    }
    match line.send(passed).await {
        Ok(answer) => {
            let (mut head, body) = answer.into_parts();
            for own in [
                header::CONNECTION,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
            ] {
                head.headers.remove(own);
            }
            Response::from_parts(head, Full::new(body))
        }
        Err(error) => {
            eprintln!("{}", table::printable(&error.to_string()));
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    }
}

/// Opens the address where the system has a command for that. The address is printed in any case.
fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(target_os = "windows") {
        "explorer"
    } else {
        "xdg-open"
    };
    let _ = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
