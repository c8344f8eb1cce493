"""What `--help` says around the options; 80 columns at most, as a terminal has."""

EDGE_USAGE = "tlids-edge --model DIR --source FILE|-|INTERFACE [option ...]"
EDGE_DESCRIPTION = """\
Watch a network interface, or replay a capture, with a trained model. Packets
become flows; each flow gets a verdict when it ends; anomalies become alerts,
one EVE JSON object a line, as Suricata writes them. Status lines and a summary
go to standard error.
"""
EDGE_EPILOG = """\
examples:
  watch an interface, alerts into a file:
    tlids-edge --model models/home --source eth0 --eve /var/log/tlids/eve.json
  replay a capture, every flow with its score, and a confusion matrix:
    tlids-edge --model models/home --source day.pcap --all-flows \\
               --labels labels.csv > eve.json
  see what the alerts are:
    tlids-edge --model models/home --source day.pcap |
      jq -r 'select(.event_type == "alert") | .alert.signature' | sort | uniq -c
  watch a router from elsewhere:
    ssh router tcpdump -i br-lan -U -w - |
      tlids-edge --model models/home --source -

verdicts:
  A flow is an anomaly when 1 - P(benign) reaches the threshold in the model's
  card, or while its source is under a rule's alert. The rules: ARP bindings (an
  address claimed by a second MAC address, replies nobody asked for) and fan-out
  (one source, 50 unanswered ports of a host or 100 unanswered hosts in 60 s).

  A flow ends by FIN or RST, by a timeout, when the table is full, or with the
  run. Live, the wall clock ends it; on replay the packets' own clock does.

status line, every --status seconds:
  packets, drops (by the kernel), flows (ended), open, alerts, CPU, memory; and,
  where there is any, evicted flows (table full), malformed packets, gaps (a
  capture that had to be started again), unwritten lines, unjudged flows.

files:
  DIR/model.tflite, DIR/card.json
              the model, and what it was trained on and must be fed; a pair that
              does not match is refused
  PATH, PATH.1 ... PATH.5
              the EVE file and older ones, the newest first
  labels.csv  start,end,src,dst,dst_port,attack[,both_ways]: who attacked whom
              when. Times are seconds since 1970 or ISO 8601, in UTC; an empty
              field matches anything; without a row that matches: Benign
  /etc/default/tlids-edge
              the options of the service

signals:
  TERM, INT   stop: every open flow gets its verdict, files are flushed, the
              capturing child is ended
  HUP         reopen the EVE file (after logrotate has moved it)

environment:
  TLIDS_MQTT_USER, TLIDS_MQTT_PASSWORD   the broker's login

exit status:
  0   the source ended, or a signal came
  2   the input or an option cannot be used; one sentence says why

see also:
  tlids-meter for flows to train on; edge/README.md for installing, for what a
  Pi can see, and for when nothing shows; tcpdump(8), jq(1)
"""

METER_USAGE = "tlids-meter CAPTURE [CAPTURE ...] [-o FILE] [option ...]"
METER_DESCRIPTION = """\
Meter captures: one CSV row for each flow, in the order in which flows end.
Columns have the names the public datasets use, so the file goes straight into
notebook 03 as a dataset of your own. Several captures are read one after the
other, as one recording.
"""
METER_EPILOG = """\
examples:
  the flows of a capture:
    tlids-meter capture.pcap -o flows.csv
  a recording in several files, with classes, to train on:
    tlids-meter monday.pcap* -o monday.csv --labels labels.csv --session monday
  from another program, without a file between:
    tcpdump -i eth0 -w - | tlids-meter - -o flows.csv
  the features of the paper's Table 3 instead of Table 1:
    tlids-meter capture.pcap -o flows.csv --family cicflow

columns:
  netflow   IPV4_SRC_ADDR ... FLOW_DURATION_MILLISECONDS. IN is source to
            destination; bytes are those of IP packets; TCP_FLAGS is the OR over
            both directions; L7_PROTO is nDPI's master.app
  cicflow   Src_IP ... Src_Port. Lengths are payload bytes, times microseconds
  both      those of netflow, then those of cicflow
  always    FIRST_SWITCHED_MS, LAST_SWITCHED_MS (since 1970), SRC_MAC, DST_MAC,
            END_REASON; with --labels Label and Attack, with --session Session

dialects of the cicflow family (builds of CICFlowMeter differ on two features):
                     Init_Fwd_Win_Byts     Subflow_Fwd_Byts
  cse-cic-ids2018    -1 without TCP        all forward payload bytes
  constant-window    always -1             all forward payload bytes
  cicflowmeter-2020  0 without TCP         forward payload bytes // packets

endings:
  tlids         at FIN or RST, after --idle-timeout of silence, at
                --active-timeout of age, when --max-flows are open (the longest
                silent first), or at the end of the capture
  cicflowmeter  at the first FIN, or 120 s after the first packet; never an idle
                flow, and flows of one packet are left out

files:
  labels.csv  start,end,src,dst,dst_port,attack[,both_ways]: who attacked whom
              when. Times are seconds since 1970 or ISO 8601, in UTC; src and
              dst are addresses, networks or MAC addresses; an empty field
              matches anything; the first row that matches wins; without one:
              Benign
  FILE        appears under its name when it is whole

environment:
  CI   set to anything: no progress line on the terminal

exit status:
  0   the captures were read to their ends (or Ctrl-C came: what was read is
      written)
  2   a capture, a labels file or an option cannot be used; one sentence says
      why

see also:
  tlids-edge for verdicts instead of rows; data/README.md for what a file to
  train on needs; tcpdump(8)
"""
