"""The demo: two companies whose weeks are played through the real HTTP API.

company   the tenants, their people, plans and keys, made once; what `var/demo.json` says
story     what happens in a company in four weeks (pure)
play      sends the story to the running server, then says where everything is (a program of its own)
"""
