//! A camera on the network.

use std::{sync::mpsc, thread};

use gst::glib;
use gst_rtsp_server::prelude::*;

/// Debian's RTSP server on a thread of its own.
pub struct RtspServer {
    pub port: i32,
    main_loop: glib::MainLoop,
    thread: Option<thread::JoinHandle<()>>,
}

impl RtspServer {
    /// Serves `/live`; `launch` is written as `gst-launch-1.0` takes it, in parentheses, with payloaders `pay0` and so on.
    pub fn start(launch: &str) -> Self {
        let launch = launch.to_owned();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let context = glib::MainContext::new();
            let main_loop = glib::MainLoop::new(Some(&context), false);
            let server = gst_rtsp_server::RTSPServer::new();
            server.set_address("127.0.0.1");
            server.set_service("0");
            let factory = gst_rtsp_server::RTSPMediaFactory::new();
            factory.set_launch(&launch);
            server.mount_points().unwrap().add_factory("/live", factory);
            let _attached = server.attach(Some(&context)).unwrap();
            tell.send((server.bound_port(), main_loop.clone())).unwrap();
            main_loop.run();
        });
        let (port, main_loop) = told.recv().unwrap();
        Self {
            port,
            main_loop,
            thread: Some(thread),
        }
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.main_loop.quit();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
