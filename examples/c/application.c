/* An application of one's own that streams: the sink in its pipeline, the messages and the figures it gives. */

#include <glib-unix.h>
#include <gst/gst.h>
#include <stdlib.h>

/* Whatever the application has; here something that is always there. */
static const char *PICTURE =
    "videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=30/1 ! queue ! videoconvert"
    " ! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 ! h264parse";
static const char *SOUND =
    "audiotestsrc is-live=true volume=0.1 ! audioconvert ! avenc_aac ! aacparse";

typedef struct {
    GMainLoop *loop;
    GstElement *pipeline;
    GstElement *sink;
    int status;
} Application;

/* What the sink says about the stream. Times are nanoseconds, "published" and "captured" since 1970. */
static void tell(const GstStructure *details) {
    if (gst_structure_has_name(details, "llhls-segment")) {
        guint64 duration = 0, size = 0;
        gst_structure_get_uint64(details, "duration", &duration);
        gst_structure_get_uint64(details, "size", &size);
        g_print("segment %s %s %.3f s %" G_GUINT64_FORMAT " bytes\n", gst_structure_get_string(details, "rendition"),
            gst_structure_get_string(details, "name"), (double)duration / 1e9, size);
    } else if (gst_structure_has_name(details, "llhls-discontinuity")) {
        gchar *text = gst_structure_to_string(details);
        g_print("discontinuity %s\n", text);
        g_free(text);
    }
}

static guint64 taken(const GstStructure *stats, const char *pad) {
    GstStructure *figures = NULL;
    guint64 count = 0;
    if (gst_structure_get(stats, pad, GST_TYPE_STRUCTURE, &figures, NULL)) {
        gst_structure_get_uint64(figures, "taken", &count);
        gst_structure_free(figures);
    }
    return count;
}

static gboolean print_figures(gpointer data) {
    Application *application = data;
    GstStructure *stats = NULL;
    guint clients = 0;
    guint64 sent = 0;
    g_object_get(application->sink, "stats", &stats, NULL);
    gst_structure_get_uint(stats, "clients", &clients);
    gst_structure_get_uint64(stats, "bytes-sent", &sent);
    g_print("figures %u clients, %" G_GUINT64_FORMAT " bytes sent, %" G_GUINT64_FORMAT " pictures and %" G_GUINT64_FORMAT
            " frames of sound taken\n",
        clients, sent, taken(stats, "video"), taken(stats, "audio"));
    gst_structure_free(stats);
    return G_SOURCE_CONTINUE;
}

static gboolean heard(GstBus *bus, GstMessage *message, gpointer data) {
    Application *application = data;
    GError *error = NULL;
    (void)bus;
    switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_ELEMENT:
        tell(gst_message_get_structure(message));
        break;
    case GST_MESSAGE_WARNING:
        gst_message_parse_warning(message, &error, NULL);
        g_printerr("warning: %s\n", error->message);
        break;
    case GST_MESSAGE_ERROR:
        gst_message_parse_error(message, &error, NULL);
        g_printerr("error: %s\n", error->message);
        application->status = EXIT_FAILURE;
        g_main_loop_quit(application->loop);
        break;
    case GST_MESSAGE_EOS:
        /* Everything is published, the playlist says so. */
        g_main_loop_quit(application->loop);
        break;
    default:
        break;
    }
    g_clear_error(&error);
    return G_SOURCE_CONTINUE;
}

static gboolean end(gpointer data) {
    Application *application = data;
    gst_element_send_event(application->pipeline, gst_event_new_eos());
    return G_SOURCE_CONTINUE;
}

static gboolean add_source(Application *application, const char *line, const char *pad) {
    GError *error = NULL;
    GstElement *source = gst_parse_bin_from_description(line, TRUE, &error);
    if (error != NULL) {
        g_printerr("error: %s\n", error->message);
        g_clear_error(&error);
        return FALSE;
    }
    gst_bin_add(GST_BIN(application->pipeline), source);
    return gst_element_link_pads(source, "src", application->sink, pad);
}

int main(int argc, char *argv[]) {
    gst_init(&argc, &argv);

    Application application = {
        .loop = g_main_loop_new(NULL, FALSE),
        .pipeline = gst_pipeline_new(NULL),
        .sink = gst_element_factory_make("llhlssink", NULL),
        .status = EXIT_SUCCESS,
    };
    if (application.sink == NULL) {
        g_printerr("GStreamer does not find llhlssink: install it, or say where it is in GST_PLUGIN_PATH\n");
        return EXIT_FAILURE;
    }
    g_object_set(application.sink, "port", argc > 1 ? atoi(argv[1]) : 8080, "part-duration", 200, NULL);
    gst_bin_add(GST_BIN(application.pipeline), application.sink);
    if (!add_source(&application, PICTURE, "video") || !add_source(&application, SOUND, "audio")) {
        return EXIT_FAILURE;
    }

    GstBus *bus = gst_element_get_bus(application.pipeline);
    gst_bus_add_watch(bus, heard, &application);
    g_unix_signal_add(SIGINT, end, &application);

    /* Where the pipeline does not start, the error is on the bus. */
    if (gst_element_set_state(application.pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE) {
        gchar *uri = NULL;
        g_object_get(application.sink, "uri", &uri, NULL);
        g_print("playlist %s\n", uri);
        g_free(uri);
        g_timeout_add_seconds(2, print_figures, &application);
    }
    g_main_loop_run(application.loop);

    gst_element_set_state(application.pipeline, GST_STATE_NULL);
    gst_bus_remove_watch(bus);
    gst_object_unref(bus);
    gst_object_unref(application.pipeline);
    g_main_loop_unref(application.loop);
    return application.status;
}
