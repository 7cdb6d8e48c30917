"""Messages to endpoints: written with what they tell of, handed out to senders, looked after by people."""
