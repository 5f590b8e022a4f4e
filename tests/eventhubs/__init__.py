"""An Event Hubs namespace for tests: AMQP 1.0 on asyncio, enough for the real azure-eventhub SDK.

`EventHubsServer` (process.py) runs it in a process of its own. What Azure answers to a wrong key,
an unknown hub or a stolen link is taken from its documentation and from traces people published:
conditions and sentences are the same, so that what is written about them can be believed.
"""
