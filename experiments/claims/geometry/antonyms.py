"""Pairs of SimLex-999 that are antonyms, by what a dictionary says of them.

Chosen by the words alone, before any model was asked. Man and woman and the
like are left out: people do not agree whether they are opposites.
"""

_PAIRS = '''
old-new hard-easy short-long wide-narrow easy-difficult hard-simple smart-dumb
sharp-dull narrow-broad weird-normal nice-cruel unnecessary-necessary
dumb-intelligent bad-great difficult-simple easy-tough modern-ancient
new-ancient great-awful bad-terrific tiny-huge dumb-clever
night-day south-north bottom-top child-adult winter-summer employer-employee
sunset-sunrise absence-presence god-devil reality-fantasy reality-illusion
wealth-poverty sinner-saint destruction-construction floor-ceiling adult-baby
ignorance-intelligence
go-come multiply-divide accept-reject leave-enter encourage-discourage
receive-give destroy-make succeed-fail spend-save shrink-grow arrive-leave
accept-deny agree-differ agree-argue send-receive leave-remain forget-retain
lose-keep disorganize-organize destroy-construct create-destroy give-get
begin-quit remind-forget lose-get
'''
ANTONYMS = frozenset(frozenset(pair.split('-')) for pair in _PAIRS.split())
